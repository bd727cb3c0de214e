import { en, type Messages } from "@/lib/messages/en";

// The single place that chooses a language. Today there is one.
export const messages: Messages = en;
