import { expect, type Page } from "@playwright/test";

/** A person nobody has seen before. */
export function newPerson() {
  return {
    email: `ada-${Date.now()}-${Math.random().toString(36).slice(2, 8)}@example.com`,
    password: `correct-${crypto.randomUUID()}`,
  };
}

/** Kept next to the traces, for people to look at. */
export async function picture(page: Page, name: string) {
  await page.screenshot({ path: `test-results/pages/${name}.png`, fullPage: true });
}

async function fillTraits(page: Page, email: string) {
  await page.locator('input[name="traits.email"]').fill(email);
  const names = page.locator('input[name^="traits.name"]');
  for (let i = 0; i < (await names.count()); i++) {
    await names.nth(i).fill("Ada Lovelace");
  }
}

/** Both steps of a two-step registration, and the single form where that is what the server offers. */
export async function register(page: Page, email: string, password: string) {
  await page.getByTestId("register").click();
  await expect(page.locator('input[name="traits.email"]')).toBeVisible();
  await picture(page, "registration");
  await fillTraits(page, email);
  const passwordField = page.locator('input[name="password"]');
  if (!(await passwordField.isVisible())) {
    await page.locator('button[type="submit"][name="method"][value="profile"]').click();
    const choice = page.getByTestId("ory/form/auth-picker/password");
    await expect(passwordField.or(choice).first()).toBeVisible();
    if (await choice.isVisible()) {
      await picture(page, "registration-method");
      await choice.click();
    }
  }
  await passwordField.fill(password);
  await picture(page, "registration-password");
  await page.locator('button[type="submit"][name="method"][value="password"]').click();
  await page.waitForURL((url) => url.pathname === "/" || url.pathname === "/auth/verification");
  if (new URL(page.url()).pathname === "/auth/verification") {
    await expect(page.getByTestId("verification-later")).toBeVisible();
    await picture(page, "verification");
    await page.getByTestId("verification-later").click();
  }
  await expect(page.getByTestId("me-email")).toHaveText(email);
}

/** The password form, of a first log-in as well as of one that an application asks for. */
export async function enterPassword(page: Page, email: string, password: string) {
  const identifier = page.locator('input[name="identifier"]');
  const passwordField = page.locator('input[name="password"]');
  await expect(passwordField).toBeVisible();
  if (await identifier.isVisible()) {
    await identifier.fill(email);
  }
  await passwordField.fill(password);
  await picture(page, "login");
  await page.locator('button[type="submit"][name="method"][value="password"]').click();
}
