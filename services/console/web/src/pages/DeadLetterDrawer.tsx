/** One dead letter: what it says, why it failed, and what to do with it. */
import { DeleteOutlined, RedoOutlined } from "@ant-design/icons";
import { useMutation } from "@tanstack/react-query";
import { App, Button, Drawer, Popconfirm, Space, Typography } from "antd";
import { Link } from "react-router";

import { apiOf, content } from "../api/client.ts";
import { Copy, Fact, Service, Trouble, When } from "../components/parts.tsx";
import { useText } from "../text/index.ts";
import { Attributes } from "../trace/SpanDrawer.tsx";
import { LetterState } from "./DeadLetters.tsx";
import { idempotencyKey, readable, stateOf, traceOf, type Letter } from "./letters.ts";

type Act = "replay" | "discard";

export function DeadLetterDrawer({
  letter,
  close,
  decided,
}: {
  letter: Letter | null;
  close: () => void;
  decided: () => void;
}) {
  const t = useText();
  return (
    <Drawer
      open={letter !== null}
      onClose={close}
      size={640}
      destroyOnHidden
      title={letter && <span className="mono">{letter.subject}</span>}
      aria-label={letter?.subject ?? ""}
      closable={{ "aria-label": t.span.close }}
    >
      {letter && <Details key={letter.id} letter={letter} decided={decided} />}
    </Drawer>
  );
}

function Details({ letter, decided }: { letter: Letter; decided: () => void }) {
  const t = useText();
  const { message } = App.useApp();
  const act = useMutation({
    mutationFn: (what: Act) => {
      const options = { params: { path: { id: letter.id } }, headers: { "Idempotency-Key": idempotencyKey() } };
      const api = apiOf(letter.service);
      return content(
        what === "replay"
          ? api.POST("/service/v1/dead-letters/{id}/replay", options)
          : api.POST("/service/v1/dead-letters/{id}/discard", options),
      );
    },
    onSuccess: (_, what) => {
      void message.success(what === "replay" ? t.dead.replayDone : t.dead.discardDone);
      decided();
    },
  });
  const state = stateOf(letter);
  const trace = traceOf(letter);
  return (
    <>
      <dl className="facts narrow">
        <Fact name={t.dead.state}>
          <LetterState state={state} />
        </Fact>
        <Fact name={t.dead.died}>
          <When at={letter.died_at} />
        </Fact>
        <Fact name={t.dead.service}>
          <Service name={letter.service} />
        </Fact>
        <Fact name={t.dead.consumer}>{letter.consumer}</Fact>
        <Fact name={t.dead.district}>{letter.district || "—"}</Fact>
        <Fact name={t.dead.deliveries}>{letter.deliveries}</Fact>
      </dl>
      <h2>{t.dead.error}</h2>
      <pre className="text failed">{letter.error}</pre>
      {trace && (
        <p>
          {t.dead.trace}{" "}
          <Link to={`/traces/${trace}`} className="mono">
            {trace}
          </Link>
          <Copy text={trace} />
        </p>
      )}
      {act.isError && <Trouble error={act.error} />}
      {state === "pending" && (
        <Space className="decide">
          <Button
            type="primary"
            icon={<RedoOutlined />}
            loading={act.isPending && act.variables === "replay"}
            disabled={act.isPending}
            onClick={() => act.mutate("replay")}
          >
            {t.dead.replay}
          </Button>
          <Popconfirm
            title={t.dead.discardSure}
            description={t.dead.discardHint}
            okText={t.dead.discard}
            cancelText={t.no}
            okButtonProps={{ danger: true }}
            onConfirm={() => act.mutate("discard")}
          >
            <Button
              danger
              icon={<DeleteOutlined />}
              loading={act.isPending && act.variables === "discard"}
              disabled={act.isPending}
            >
              {t.dead.discard}
            </Button>
          </Popconfirm>
        </Space>
      )}
      <h2>
        {t.dead.payload} <Copy text={letter.payload} />
      </h2>
      <pre className="text">{readable(letter.payload)}</pre>
      <h2>{t.dead.headers}</h2>
      <Attributes of={letter.headers} />
      <Typography.Text type="secondary" className="mono">
        {t.dead.event} {letter.event_id ?? "—"}
      </Typography.Text>
    </>
  );
}
