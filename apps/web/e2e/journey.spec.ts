import { expect, test } from "@playwright/test";
import { enterPassword, newPerson, picture, register } from "./helpers";

test("a person registers, is known, signs out and signs in again", async ({ page }) => {
  const { email, password } = newPerson();
  await page.goto("/");
  await expect(page.getByTestId("sign-in")).toBeVisible();
  await picture(page, "welcome");

  await register(page, email, password);
  await expect(page.getByTestId("me-id")).toHaveText(/^[0-9a-f-]{36}$/);
  await picture(page, "home");

  await page.getByTestId("sign-out").click();
  await expect(page.getByTestId("sign-in")).toBeVisible();

  await page.getByTestId("sign-in").click();
  await enterPassword(page, email, password);
  await expect(page.getByTestId("me-email")).toHaveText(email);
});
