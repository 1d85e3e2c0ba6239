/** Which language the page speaks: Chinese, until somebody chooses English. */
import { createContext, use } from "react";

import { recall, remember } from "../storage.ts";
import { en } from "./en.ts";
import { zh, type Text } from "./zh.ts";

export type Language = "zh" | "en";
export type Speech = { language: Language; t: Text; speak: (language: Language) => void };

export const words: Record<Language, Text> = { zh, en };

export const firstLanguage = (): Language => (recall("language") === "en" ? "en" : "zh");

export const keepLanguage = (language: Language): void => remember("language", language);

export const SpeechContext = createContext<Speech>({ language: "zh", t: zh, speak: () => undefined });

export const useSpeech = (): Speech => use(SpeechContext);

export const useText = (): Text => use(SpeechContext).t;
