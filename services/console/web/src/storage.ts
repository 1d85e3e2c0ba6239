/** What the page remembers of this browser; a browser that keeps nothing is no error. */
type Place = () => Storage;

const browser: Place = () => localStorage;
/** For this tab only, until it is closed. */
export const tab: Place = () => sessionStorage;

export function recall(key: string, place = browser): string | null {
  try {
    return place().getItem(`linli.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string, place = browser): void {
  try {
    place().setItem(`linli.${key}`, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

export function forget(key: string, place = browser): void {
  try {
    place().removeItem(`linli.${key}`);
  } catch {
    // What keeps nothing has nothing to forget.
  }
}
