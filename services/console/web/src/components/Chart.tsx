/** An ECharts chart; the library comes when the first chart is shown, and only the parts that are used. */
import { Skeleton } from "antd";
import { lazy, Suspense } from "react";

import type { ChartProps } from "./EChart.tsx";

const EChart = lazy(() => import("./EChart.tsx"));

export function Chart(props: ChartProps) {
  return (
    <Suspense fallback={<Skeleton.Node active style={{ width: "100%", height: props.height }} />}>
      <EChart {...props} />
    </Suspense>
  );
}
