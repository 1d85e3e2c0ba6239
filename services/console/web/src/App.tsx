/** The frame around every page: the bar, the way in, and what to show at which address. */
import { useQueryClient } from "@tanstack/react-query";
import { Spin } from "antd";
import { lazy, Suspense, useEffect, useRef } from "react";
import { Navigate, Route, Routes, useLocation } from "react-router";

import { refresh } from "./answers.ts";
import { Bar } from "./components/Bar.tsx";
import { Crash } from "./components/Crash.tsx";
import { SignIn, SignInAgain } from "./components/SignIn.tsx";
import { useSession } from "./session.ts";
import { useText } from "./text/index.ts";
import { useMayReadLetters } from "./who.ts";

const Traces = lazy(() => import("./pages/Traces.tsx"));
const Trace = lazy(() => import("./pages/Trace.tsx"));
const Subject = lazy(() => import("./pages/Subject.tsx"));
const ServiceMap = lazy(() => import("./pages/ServiceMap.tsx"));
const Operations = lazy(() => import("./pages/Operations.tsx"));
const DeadLetters = lazy(() => import("./pages/DeadLetters.tsx"));

export function App() {
  const { token, expired } = useSession();
  const { pathname } = useLocation();
  useFreshAnswers(token);

  if (!token) return <SignIn expired={expired} />;
  return <Frame expired={expired} pathname={pathname} />;
}

function Frame({ expired, pathname }: { expired: boolean; pathname: string }) {
  const t = useText();
  const mayReadLetters = useMayReadLetters();
  return (
    <>
      <a className="skip" href="#content">
        {t.skip}
      </a>
      <Bar />
      <main id="content" tabIndex={-1}>
        <Crash key={pathname}>
          <Suspense fallback={<Spin className="wait" size="large" description={t.loading} />}>
            <Routes>
              <Route index element={<Navigate to="/traces" replace />} />
              <Route path="traces" element={<Traces />} />
              <Route path="traces/:id" element={<Trace />} />
              <Route path="subjects/:id" element={<Subject />} />
              <Route path="map" element={<ServiceMap />} />
              <Route path="operations" element={<Operations />} />
              {mayReadLetters && <Route path="dead-letters" element={<DeadLetters />} />}
              <Route path="*" element={<Navigate to="/traces" replace />} />
            </Routes>
          </Suspense>
        </Crash>
      </main>
      {expired && <SignInAgain />}
    </>
  );
}

/** Another token may see other things: what was answered is asked for again. */
function useFreshAnswers(token: string | null): void {
  const queries = useQueryClient();
  const before = useRef(token);
  useEffect(() => {
    refresh(queries, before.current, token);
    before.current = token;
  }, [token, queries]);
}
