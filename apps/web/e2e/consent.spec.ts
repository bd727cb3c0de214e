import { createHash, randomBytes } from "node:crypto";
import { expect, type Page, test } from "@playwright/test";
import { enterPassword, newPerson, picture, register } from "./helpers";

// The demo client's: `make demo` prints its credentials. Nothing listens at its redirect URI.
const clientID = process.env.DEMO_CLIENT_ID ?? "";
const clientSecret = process.env.DEMO_CLIENT_SECRET ?? "";
const redirectURI = "http://127.0.0.1:9899/callback";

test.beforeAll(() => {
  expect(
    clientID && clientSecret,
    "DEMO_CLIENT_ID and DEMO_CLIENT_SECRET, as `make demo` prints them",
  ).toBeTruthy();
});

/** Sends the person to the application's authorization request and up to the consent page. */
async function upToConsent(page: Page, origin: string, email: string, password: string, verifier: string) {
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const query = new URLSearchParams({
    response_type: "code",
    client_id: clientID,
    redirect_uri: redirectURI,
    scope: "openid email demo",
    audience: `${origin}/api`,
    state: randomBytes(16).toString("hex"),
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  await page.goto(`/oauth2/auth?${query}`);
  await enterPassword(page, email, password);
  await expect(page.getByTestId("consent-allow")).toBeVisible();
}

/** Where the application would be called back. */
async function calledBack(page: Page, press: () => Promise<void>): Promise<URL> {
  const request = page.waitForRequest((sent) => sent.url().startsWith(redirectURI));
  await press();
  return new URL((await request).url());
}

test("a person allows an application, which then acts for them", async ({ page, request, baseURL }) => {
  const { email, password } = newPerson();
  await page.goto("/");
  await register(page, email, password);
  const id = await page.getByTestId("me-id").textContent();

  const verifier = randomBytes(32).toString("base64url");
  await upToConsent(page, baseURL ?? "", email, password, verifier);
  await picture(page, "consent");
  const back = await calledBack(page, () => page.getByTestId("consent-allow").click());

  const tokens = await request.post("/oauth2/token", {
    headers: { authorization: `Basic ${Buffer.from(`${clientID}:${clientSecret}`).toString("base64")}` },
    form: {
      grant_type: "authorization_code",
      code: back.searchParams.get("code") ?? "",
      redirect_uri: redirectURI,
      code_verifier: verifier,
    },
  });
  expect(tokens.status()).toBe(200);
  const { access_token } = await tokens.json();
  const me = await request.get("/api/me", { headers: { authorization: `Bearer ${access_token}` } });
  expect(await me.json()).toMatchObject({ type: "user", id, client_id: clientID });
});

test("a person denies an application, which is told so", async ({ page, baseURL }) => {
  const { email, password } = newPerson();
  await page.goto("/");
  await register(page, email, password);
  await upToConsent(page, baseURL ?? "", email, password, randomBytes(32).toString("base64url"));
  const back = await calledBack(page, () => page.getByTestId("consent-deny").click());
  expect(back.searchParams.get("error")).toBe("access_denied");
  expect(back.searchParams.get("code")).toBeNull();
});
