import type { Metadata } from "next";
import { RegistrationCard } from "@/features/auth-flow/cards";
import { FlowPage } from "@/features/auth-flow/flow-page";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.registration };

export default function RegistrationPage({ searchParams }: PageProps<"/auth/registration">) {
  return <FlowPage kind="registration" query={searchParams} card={RegistrationCard} />;
}
