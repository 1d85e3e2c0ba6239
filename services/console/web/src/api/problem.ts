/** What went wrong, in both languages (RFC 9457). */
export type Problem = {
  title: string;
  title_zh: string;
  detail: string;
  detail_zh: string;
  status: number;
  trace_id?: string;
};

export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

const UNREACHABLE: Problem = {
  title: "No answer",
  title_zh: "没有响应",
  detail: "The platform can't be reached, or did not answer in time. Check the network, then try again.",
  detail_zh: "无法连接平台，或未在限定时间内响应。请检查网络后重试。",
  status: 0,
};

export function problemOf(error: unknown): Problem {
  return error instanceof ProblemError ? error.problem : UNREACHABLE;
}

/** Read a refusal; a gateway that answers in no known words is told by its status. */
export function refusal(body: unknown, status: number): ProblemError {
  const given = typeof body === "object" && body ? (body as Partial<Problem>) : {};
  const title = given.title ?? `HTTP ${status}`;
  const detail = given.detail ?? `The platform answered ${status}.`;
  return new ProblemError({
    ...given,
    title,
    title_zh: given.title_zh ?? title,
    detail,
    detail_zh: given.detail_zh ?? `平台返回 ${status}。`,
    status,
  });
}
