/** Language, colours and messages, for everything below. */
import { App as Messages, ConfigProvider } from "antd";
import enUS from "antd/locale/en_US";
import zhCN from "antd/locale/zh_CN";
import dayjs from "dayjs";
import "dayjs/locale/zh-cn";
import { useEffect, useMemo, useState, type ReactNode } from "react";

import { firstLanguage, keepLanguage, SpeechContext, words, type Language } from "./text/index.ts";
import { themeFor, useDark } from "./theme.ts";

export function Look({ children }: { children: ReactNode }) {
  const dark = useDark();
  const [language, setLanguage] = useState(firstLanguage);
  const speech = useMemo(() => {
    const speak = (chosen: Language): void => {
      keepLanguage(chosen);
      setLanguage(chosen);
    };
    return { language, t: words[language], speak };
  }, [language]);
  const theme = useMemo(() => themeFor(dark), [dark]);

  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = words[language].product;
    dayjs.locale(language === "zh" ? "zh-cn" : "en");
  }, [language]);

  return (
    <ConfigProvider theme={theme} locale={language === "zh" ? zhCN : enUS} button={{ autoInsertSpace: false }}>
      <Messages component={false} message={{ maxCount: 3 }}>
        <SpeechContext value={speech}>{children}</SpeechContext>
      </Messages>
    </ConfigProvider>
  );
}
