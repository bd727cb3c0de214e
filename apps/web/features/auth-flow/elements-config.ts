import type { OryClientConfiguration } from "@ory/elements-react";
import { messages } from "@/lib/messages";

/** Names for the values of the language trait, under the keys where Ory's components look for them. */
const localeNames = Object.fromEntries(
  Object.entries(messages.locales.names).map(([value, name]) => [
    `forms.option.traits.locale.${value}`,
    name,
  ]),
);

/** The one configuration of Ory's components. The public origin comes from the running server, not from the build. */
export function elementsConfig(publicUrl: string): OryClientConfiguration {
  return {
    sdk: { url: `${publicUrl}/.ory` },
    intl: { locale: "en", customTranslations: { en: localeNames } },
    project: {
      name: messages.site.name,
      default_redirect_url: `${publicUrl}/`,
      error_ui_url: `${publicUrl}/auth/error`,
      login_ui_url: `${publicUrl}/auth/login`,
      registration_ui_url: `${publicUrl}/auth/registration`,
      recovery_ui_url: `${publicUrl}/auth/recovery`,
      verification_ui_url: `${publicUrl}/auth/verification`,
      settings_ui_url: `${publicUrl}/auth/settings`,
      registration_enabled: true,
      recovery_enabled: true,
      verification_enabled: true,
    },
  };
}
