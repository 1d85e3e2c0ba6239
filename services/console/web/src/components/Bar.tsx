/** The bar above every page: where to go, what to look for, who is signed in. */
import { LogoutOutlined, SearchOutlined, TranslationOutlined, UserOutlined } from "@ant-design/icons";
import { App, Button, Dropdown, Input } from "antd";
import { NavLink, useNavigate } from "react-router";

import logo from "../assets/linli.svg";
import { signOut } from "../session.ts";
import { useSpeech } from "../text/index.ts";
import { clock } from "../format.ts";
import { useMayReadLetters, useMe } from "../who.ts";

const TRACE = /^[0-9a-f]{32}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function Bar() {
  const { t, language, speak } = useSpeech();
  const { message } = App.useApp();
  const navigate = useNavigate();
  const me = useMe();
  const mayReadLetters = useMayReadLetters();

  const find = (text: string): void => {
    const id = text.trim().toLowerCase();
    if (TRACE.test(id)) void navigate(`/traces/${id}`);
    else if (UUID.test(id)) void navigate(`/subjects/${id}`);
    else if (id) void message.warning(t.find.unknown);
  };
  const pages = [
    ["/traces", t.nav.traces],
    ["/map", t.nav.map],
    ["/operations", t.nav.operations],
    ...(mayReadLetters ? [["/dead-letters", t.nav.deadLetters] as const] : []),
  ] as const;
  const account = me && (me.unit === "0" ? t.account.platform : `${t.account.district} ${me.unit}`);
  const until = me ? `${t.account.until} ${clock(new Date(me.expires_at)).slice(0, 8)}` : "";

  return (
    <header className="bar">
      <NavLink to="/traces" className="brand">
        <img src={logo} alt="" width={24} height={24} />
        <span>{t.product}</span>
      </NavLink>
      <nav aria-label={t.product}>
        {pages.map(([path, name]) => (
          <NavLink key={path} to={path}>
            {name}
          </NavLink>
        ))}
      </nav>
      <Input
        className="find"
        prefix={<SearchOutlined />}
        placeholder={t.find.placeholder}
        aria-label={t.find.label}
        allowClear
        onPressEnter={(event) => find(event.currentTarget.value)}
      />
      <Button type="text" icon={<TranslationOutlined />} onClick={() => speak(language === "zh" ? "en" : "zh")}>
        {t.language}
      </Button>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            { key: "until", label: until, disabled: true },
            { type: "divider" },
            { key: "out", label: t.account.signOut, icon: <LogoutOutlined /> },
          ],
          onClick: ({ key }) => key === "out" && signOut(),
        }}
      >
        <Button type="text" icon={<UserOutlined />} aria-label={t.account.menu}>
          {account ?? t.account.menu}
        </Button>
      </Dropdown>
    </header>
  );
}
