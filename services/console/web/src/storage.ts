/** What the page remembers of this browser; a browser that keeps nothing is no error. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`linli.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`linli.${key}`, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}
