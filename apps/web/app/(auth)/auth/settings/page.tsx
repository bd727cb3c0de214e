import type { Metadata } from "next";
import { SettingsCards } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { openFlow } from "@/features/auth-flow/open-flow";
import { FailurePage } from "@/features/failure/failure-page";
import { SignOutLink } from "@/features/person/sign-out-link";
import { HeaderLink, SiteHeader } from "@/features/site/header";
import { config } from "@/lib/config";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.settings };

export default async function SettingsPage({ searchParams }: PageProps<"/auth/settings">) {
  const opened = await openFlow("settings", await searchParams);
  if ("failure" in opened) {
    return <FailurePage failure={opened.failure} />;
  }
  return (
    <>
      <SiteHeader>
        <HeaderLink href="/">{messages.site.home}</HeaderLink>
        <SignOutLink />
      </SiteHeader>
      <main className="mx-auto grid w-full max-w-5xl gap-8 py-10">
        <div className="mx-auto w-full max-w-(--breakpoint-sm) px-4 md:max-w-[712px] lg:max-w-[802px] xl:max-w-[896px]">
          <h1 className="font-semibold text-2xl tracking-tight">{messages.settings.title}</h1>
          <p className="mt-1 text-muted">{messages.settings.text}</p>
        </div>
        <SettingsCards flow={opened.flow} config={elementsConfig(config().publicUrl)} />
      </main>
    </>
  );
}
