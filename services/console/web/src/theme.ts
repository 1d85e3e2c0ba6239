/** Colours: one per service in both modes, red for errors alone. */
import { useSyncExternalStore } from "react";
import { theme, type ThemeConfig } from "antd";

const SERVICES: Record<string, string> = {
  gateway: "#7c8798",
  directory: "#1d8fd1",
  residents: "#3d9a50",
  tickets: "#4c5fd7",
  points: "#d58512",
  bookings: "#a14bc4",
  notifications: "#119c94",
  console: "#6b7280",
};
/** For services that came later. */
const OTHERS = ["#8a6d3b", "#5b7f95", "#7a8b2e", "#9b5f8a", "#4f7d6a"];

export const RED = "#e5484d";

export function colourOf(service: string): string {
  const sum = [...service].reduce((total, letter) => total + letter.charCodeAt(0), 0);
  return SERVICES[service] ?? OTHERS[sum % OTHERS.length] ?? "#6b7280";
}

const dark = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;

/** Whether the system is dark, as it changes. */
export function useDark(): boolean {
  return useSyncExternalStore(
    (listener) => {
      dark?.addEventListener("change", listener);
      return () => dark?.removeEventListener("change", listener);
    },
    () => dark?.matches ?? false,
  );
}

const FONT =
  '-apple-system, BlinkMacSystemFont, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif';

export function themeFor(isDark: boolean): ThemeConfig {
  return {
    algorithm: isDark ? theme.darkAlgorithm : theme.defaultAlgorithm,
    token: {
      colorPrimary: isDark ? "#2aa79a" : "#0d7a6f",
      colorError: RED,
      colorInfo: isDark ? "#2aa79a" : "#0d7a6f",
      colorLink: isDark ? "#4cc4b6" : "#0b6f65",
      colorBgLayout: isDark ? "#0d1117" : "#f3f5f7",
      colorBgContainer: isDark ? "#151b23" : "#ffffff",
      colorBgElevated: isDark ? "#1b222c" : "#ffffff",
      colorBorderSecondary: isDark ? "#252d38" : "#e6eaee",
      borderRadius: 6,
      fontFamily: FONT,
      fontSize: 13,
      motionDurationMid: "0.12s",
      motionDurationSlow: "0.16s",
    },
    components: {
      Table: {
        headerBg: "transparent",
        headerSplitColor: "transparent",
        cellPaddingBlockSM: 6,
        bodySortBg: "transparent",
        headerSortActiveBg: "transparent",
      },
      Menu: { horizontalLineHeight: "46px", itemBg: "transparent" },
      Tabs: { horizontalMargin: "0" },
    },
  };
}
