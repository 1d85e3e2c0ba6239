import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";

import { ProblemError } from "./api/problem.ts";
import { App } from "./App.tsx";
import { Look } from "./Look.tsx";
import { restore } from "./session.ts";
import "./styles.css";
import "./components/parts.css";

const RETRIES = 2;

restore();

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      gcTime: 5 * 60_000,
      refetchOnWindowFocus: false,
      // What was refused stays refused; what did not answer may answer yet.
      retry: (failed, error) => failed < RETRIES && !(error instanceof ProblemError && error.problem.status < 500),
    },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <BrowserRouter basename="/console">
          <Look>
            <App />
          </Look>
        </BrowserRouter>
      </QueryClientProvider>
    </StrictMode>,
  );
}
