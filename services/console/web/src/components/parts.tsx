/** Small things every page shows: a service, a time, a duration, a trouble. */
import { CheckOutlined, CopyOutlined, LinkOutlined, ReloadOutlined } from "@ant-design/icons";
import { Alert, App, Button, Tooltip } from "antd";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";

import { problemOf } from "../api/problem.ts";
import { clock, day, duration, isToday } from "../format.ts";
import { useSpeech, useText } from "../text/index.ts";
import { colourOf } from "../theme.ts";

export function Service({ name, quiet = false }: { name: string; quiet?: boolean }) {
  return (
    <span className="service" title={name}>
      <i style={{ background: colourOf(name) }} />
      {!quiet && <span>{name}</span>}
    </span>
  );
}

/** A time as it was here; UTC on hover. */
export function When({ at }: { at: string }) {
  const date = new Date(at);
  return (
    <Tooltip title={`${date.toISOString().replace("T", " ").replace("Z", "")} UTC`}>
      <time dateTime={at} className="number">
        {!isToday(date) && `${day(date)} `}
        {clock(date)}
      </time>
    </Tooltip>
  );
}

/** A duration with a bar that compares it to the longest. */
export function Took({ ms, longest, error }: { ms: number; longest: number; error: boolean }) {
  return (
    <span className="took">
      <span className="number">{duration(ms)}</span>
      <i className={error ? "error" : ""} style={{ width: `${Math.max((100 * ms) / (longest || 1), 1.5)}%` }} />
    </span>
  );
}

/** What went wrong, in the reader's language, with the trace that tells more. */
export function Trouble({ error, retry, brief }: { error: unknown; retry?: () => void; brief?: ReactNode }) {
  const { t, language } = useSpeech();
  const problem = problemOf(error);
  const chinese = language === "zh";
  return (
    <Alert
      type="error"
      showIcon
      className="trouble"
      title={brief ?? (chinese ? problem.title_zh : problem.title)}
      description={
        <>
          {chinese ? problem.detail_zh : problem.detail}
          {problem.trace_id && (
            <div className="quiet">
              {t.problem.trace}{" "}
              <Link to={`/traces/${problem.trace_id}`} className="mono">
                {problem.trace_id}
              </Link>
              <Copy text={problem.trace_id} />
            </div>
          )}
        </>
      }
      action={
        retry && (
          <Button size="small" icon={<ReloadOutlined />} onClick={retry}>
            {t.problem.retry}
          </Button>
        )
      }
    />
  );
}

/** Puts a text, or with `link` this page's address, on the clipboard. */
export function Copy({ text, link, label }: { text?: string; link?: boolean; label?: string }) {
  const t = useText();
  const { message } = App.useApp();
  const [done, setDone] = useState(false);
  const name = label ?? (link ? t.copy.link : t.copy.copy);
  const copy = async (): Promise<void> => {
    if (!(await toClipboard(text ?? location.href))) {
      void message.warning(t.copy.failed);
      return;
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  const icon = done ? <CheckOutlined /> : link ? <LinkOutlined /> : <CopyOutlined />;
  return (
    <Button
      size="small"
      type={link ? "default" : "text"}
      icon={icon}
      aria-label={name}
      title={name}
      onClick={(event) => {
        event.stopPropagation();
        void copy();
      }}
    >
      {link && (done ? t.copy.copied : name)}
    </Button>
  );
}

/** The clipboard is closed to pages that did not come over TLS or from this machine: then the old way. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
