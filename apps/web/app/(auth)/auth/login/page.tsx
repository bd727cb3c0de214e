import type { Metadata } from "next";
import { LoginCard } from "@/features/auth-flow/cards";
import { FlowPage } from "@/features/auth-flow/flow-page";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.login };

export default function LoginPage({ searchParams }: PageProps<"/auth/login">) {
  return <FlowPage kind="login" query={searchParams} card={LoginCard} />;
}
