import { messages } from "@/lib/messages";

export type ScopeInWords = { scope: string; words: string; known: boolean };

function isDescribed(scope: string): scope is keyof typeof messages.scopes {
  return Object.hasOwn(messages.scopes, scope);
}

/** A scope as a person reads it. One that we have no words for is shown as it is: hiding it would be worse. */
export function describeScope(scope: string): ScopeInWords {
  return isDescribed(scope)
    ? { scope, words: messages.scopes[scope], known: true }
    : { scope, words: scope, known: false };
}
