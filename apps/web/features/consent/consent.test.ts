import { describe, expect, it } from "vitest";
import { consentRequestSchema, redirectWithin } from "@/features/consent/consent";
import { describeScope } from "@/features/consent/scopes";

describe("scopes", () => {
  it.each(["openid", "profile", "email", "offline_access"])("%s is put in words", (scope) => {
    const described = describeScope(scope);
    expect(described.known).toBe(true);
    expect(described.words).not.toBe(scope);
  });

  it.each(["gateways:write", "toString", "__proto__", ""])("%j is shown as it is", (scope) => {
    expect(describeScope(scope)).toEqual({ scope, words: scope, known: false });
  });
});

describe("the answer's way back", () => {
  const here = "https://id.example.com";

  it("is followed through our own door", () => {
    const target = `${here}/oauth2/auth?consent_verifier=v`;
    expect(redirectWithin(here, target)).toBe(target);
  });

  it.each(["https://evil.example/", "//evil.example", "javascript:alert(1)", "http://["])(
    "is not followed to %j",
    (target) => {
      expect(redirectWithin(here, target)).toBeUndefined();
    },
  );
});

describe("a request for consent", () => {
  it("may have a client without a name and no scopes", () => {
    const parsed = consentRequestSchema.parse({
      client: { id: "c" },
      requested_scopes: null,
      csrf_token: "t",
    });
    expect(parsed).toEqual({ client: { id: "c", name: undefined }, requested_scopes: [], csrf_token: "t" });
  });

  it("is useless without the token that proves the answer is ours", () => {
    expect(consentRequestSchema.safeParse({ client: { id: "c" }, requested_scopes: [] }).success).toBe(false);
  });
});
