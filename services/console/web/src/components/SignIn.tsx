/** The way in: a token, or a client's id and secret. */
import { Alert, Button, Form, Input, Modal, Tabs } from "antd";
import { useState } from "react";

import logo from "../assets/linli.svg";
import { signIn, signInAs, SignInRefused } from "../session.ts";
import { useSpeech } from "../text/index.ts";

const COMMAND = ".venv/bin/linli token --role operator --unit 0";

export function SignIn({ expired }: { expired: boolean }) {
  const { t, language, speak } = useSpeech();
  return (
    <main className="sign-in">
      <section>
        <header>
          <img src={logo} alt="" width={36} height={36} />
          <h1>{t.product}</h1>
          <Button type="text" size="small" onClick={() => speak(language === "zh" ? "en" : "zh")}>
            {t.language}
          </Button>
        </header>
        {expired && <Alert type="warning" showIcon title={t.signIn.again} />}
        <Ways />
      </section>
    </main>
  );
}

/** Asks over what is on screen, which stays. */
export function SignInAgain() {
  const { t } = useSpeech();
  return (
    <Modal open closable={false} keyboard={false} footer={null} title={t.signIn.again} width={420}>
      <p className="quiet">{t.signIn.againHint}</p>
      <Ways />
    </Modal>
  );
}

function Ways() {
  const { t } = useSpeech();
  const [refused, setRefused] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const asClient = async (credentials: { id: string; secret: string }): Promise<void> => {
    setBusy(true);
    setRefused(null);
    try {
      await signInAs({ id: credentials.id.trim(), secret: credentials.secret });
    } catch (error) {
      setRefused(error instanceof SignInRefused ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const enter = (
    <Button type="primary" htmlType="submit" block loading={busy}>
      {t.signIn.enter}
    </Button>
  );
  const rules = [{ required: true, whitespace: true, message: t.signIn.needed }];
  const byToken = (
    <Form layout="vertical" requiredMark={false} onFinish={({ token }: { token: string }) => signIn(token)}>
      <Form.Item name="token" label={t.signIn.token} rules={rules}>
        <Input.TextArea rows={4} autoFocus spellCheck={false} autoComplete="off" placeholder="eyJ…" />
      </Form.Item>
      <p className="quiet">
        {t.signIn.tokenHint}
        <code>{COMMAND}</code>
      </p>
      {enter}
    </Form>
  );
  const byClient = (
    <Form layout="vertical" requiredMark={false} onFinish={asClient}>
      <Form.Item name="id" label={t.signIn.id} rules={rules}>
        <Input autoComplete="username" spellCheck={false} />
      </Form.Item>
      <Form.Item name="secret" label={t.signIn.secret} rules={rules}>
        <Input.Password autoComplete="current-password" />
      </Form.Item>
      <p className="quiet">{t.signIn.secretHint}</p>
      {refused && <Alert type="error" showIcon title={t.signIn.refused} description={refused} />}
      {enter}
    </Form>
  );
  return (
    <Tabs
      items={[
        { key: "token", label: t.signIn.byToken, children: byToken },
        { key: "client", label: t.signIn.byClient, children: byClient },
      ]}
    />
  );
}
