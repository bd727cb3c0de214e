import type { ComponentType } from "react";
import type { CardProps } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { type FlowOf, openFlow } from "@/features/auth-flow/open-flow";
import { FailurePage } from "@/features/failure/failure-page";
import { Centered } from "@/features/site/centered";
import { config } from "@/lib/config";
import type { FlowKind, Query } from "@/lib/flow-urls";
import { messages } from "@/lib/messages";

/** The page of a flow that is one card. */
export async function FlowPage<K extends FlowKind>({
  kind,
  query,
  card: FlowCard,
}: {
  kind: K;
  query: Promise<Query>;
  card: ComponentType<CardProps<FlowOf<K>>>;
}) {
  const opened = await openFlow(kind, await query);
  if ("failure" in opened) {
    return <FailurePage failure={opened.failure} />;
  }
  return (
    <Centered>
      {/* The card's own title is of the second level and changes with its steps. */}
      <h1 className="sr-only">{messages.titles[kind]}</h1>
      <FlowCard flow={opened.flow} config={elementsConfig(config().publicUrl)} />
    </Centered>
  );
}
