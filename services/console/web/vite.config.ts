import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  build: {
    outDir: "../src/console/static",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    // ECharts is one chunk of its own, fetched when a chart is shown.
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "^/[a-z]+/(v1|oauth)/": process.env["LINLI_URL"] ?? "http://127.0.0.1:8080" } },
});
