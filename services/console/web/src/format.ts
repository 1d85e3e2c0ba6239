/** Durations, times and shares as people read them. */

/** 842 µs, 12.3 ms, 1.24 s, 3 min 05 s. */
export function duration(ms: number): string {
  if (ms < 0.0005) return "0";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 100) return `${trim(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${trim((ms / 1000).toFixed(2))} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${pad(Math.floor((ms % 60_000) / 1000))} s`;
  const hours = ms / 3_600_000;
  return hours < 48
    ? `${Math.floor(hours)} h ${pad(Math.floor((ms % 3_600_000) / 60_000))} min`
    : `${Math.round(hours / 24)} d`;
}

const trim = (text: string): string => text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
const pad = (value: number, length = 2): string => String(value).padStart(length, "0");

/** Local time of day, to the millisecond. */
export function clock(date: Date): string {
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** Local day, 11-22. */
export const day = (date: Date): string => `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

export const isToday = (date: Date): boolean => date.toDateString() === new Date().toDateString();

/** 12,300 → 12.3k; rates keep two digits. */
export function count(value: number): string {
  if (value >= 10_000) return `${trim((value / 1000).toFixed(1))}k`;
  return Number.isInteger(value) ? String(value) : trim(value.toFixed(value < 10 ? 2 : 1));
}

/** 0.0123 → 1.2 %. */
export const percent = (share: number): string => `${trim((share * 100).toFixed(share < 0.1 ? 1 : 0))} %`;
