"use client";

import type {
  LoginFlow,
  RecoveryFlow,
  RegistrationFlow,
  SettingsFlow,
  VerificationFlow,
} from "@ory/client-fetch";
import type { OryClientConfiguration } from "@ory/elements-react";
import {
  Error as ErrorFlow,
  Login,
  Recovery,
  Registration,
  Settings,
  Verification,
} from "@ory/elements-react/theme";
import type { ComponentProps } from "react";
import { overrides } from "@/features/auth-flow/components";
import { Watched } from "@/features/auth-flow/watched";

// Ory's components take components as properties, which cannot cross from the server: this file is the crossing.

type CardProps<Flow> = { flow: Flow; config: OryClientConfiguration };

export function LoginCard({ flow, config }: CardProps<LoginFlow>) {
  return (
    <Watched config={config}>
      {(watched) => <Login flow={flow} config={watched} components={overrides} />}
    </Watched>
  );
}

export function RegistrationCard({ flow, config }: CardProps<RegistrationFlow>) {
  return (
    <Watched config={config}>
      {(watched) => <Registration flow={flow} config={watched} components={overrides} />}
    </Watched>
  );
}

export function RecoveryCard({ flow, config }: CardProps<RecoveryFlow>) {
  return (
    <Watched config={config}>
      {(watched) => <Recovery flow={flow} config={watched} components={overrides} />}
    </Watched>
  );
}

export function VerificationCard({ flow, config }: CardProps<VerificationFlow>) {
  return (
    <Watched config={config}>
      {(watched) => <Verification flow={flow} config={watched} components={overrides} />}
    </Watched>
  );
}

export function SettingsCards({ flow, config }: CardProps<SettingsFlow>) {
  return (
    <Watched config={config}>
      {(watched) => <Settings flow={flow} config={watched} components={overrides} />}
    </Watched>
  );
}

export function ErrorCard(props: Pick<ComponentProps<typeof ErrorFlow>, "error" | "config">) {
  return <ErrorFlow {...props} components={overrides} />;
}
