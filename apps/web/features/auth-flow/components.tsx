"use client";

import { FlowType, VerificationFlowState } from "@ory/client-fetch";
import {
  type OryFlowComponentOverrides,
  type OryNodeInputProps,
  type OryNodeTextProps,
  useOryConfiguration,
  useOryFlow,
} from "@ory/elements-react";
import { DefaultCardFooter, getOryComponents } from "@ory/elements-react/theme";
import { afterVerification } from "@/features/auth-flow/after-verification";
import { Brand } from "@/features/site/brand";
import { messages } from "@/lib/messages";

const { Input: TheirInput, Select: TheirSelect, Text: TheirText } = getOryComponents().Node;

/** The values that the identity schema allows for `traits.locale`. */
const locales = Object.keys(messages.locales.names).map((value) => ({ value }));

/**
 * Older Kratos servers announce a choice between fixed values as a free text, which a person can only guess at. Newer
 * ones bring the values along and never come here.
 */
function Input(props: OryNodeInputProps) {
  const { flowType } = useOryFlow();
  const { name, type } = props.attributes;
  // The second step of a registration carries the answers of the first as hidden fields.
  if (name !== "traits.locale" || type === "hidden" || !TheirSelect) {
    return <TheirInput {...props} />;
  }
  const inputProps = { ...props.inputProps, placeholder: messages.locales.choose };
  return (
    // In the settings their fields have this width; their select would leave its arrow behind.
    <div className={flowType === FlowType.Settings ? "max-w-[488px]" : undefined}>
      <TheirSelect
        node={props.node}
        attributes={props.attributes}
        inputProps={inputProps}
        options={locales}
      />
    </div>
  );
}

/** Their field for the secret of an authenticator app has no label that a screen reader could find. */
function Text(props: OryNodeTextProps) {
  const { id, text } = props.node.attributes;
  if (id !== "totp_secret_key") {
    return <TheirText {...props} />;
  }
  return (
    <label className="grid max-w-[488px] gap-1 leading-normal">
      {messages.settings.totpSecret}
      <input
        readOnly
        value={text.text}
        data-testid="totp-secret"
        className="w-full rounded-lg border border-line bg-sunken px-4 py-[13px] leading-tight"
      />
    </label>
  );
}

/** Verification is asked for right after registration; a person who has no mail at hand can go on. */
function CardFooter() {
  const { flowType, flow } = useOryFlow();
  const { project } = useOryConfiguration();
  if (flowType !== FlowType.Verification) {
    return <DefaultCardFooter />;
  }
  const { href, toApplication } = afterVerification(flow, project.default_redirect_url);
  const passed = flow.state === VerificationFlowState.PassedChallenge;
  if (passed && !toApplication) {
    // Their own button leads on.
    return null;
  }
  return (
    <a
      href={href}
      data-testid="verification-later"
      className="w-fit text-button-link-brand-brand underline hover:text-button-link-brand-brand-hover"
    >
      {passed ? messages.verification.toApplication : messages.verification.later}
    </a>
  );
}

/** Where our pages differ from Ory's own drawing of a flow. Everything not named here is theirs. */
export const overrides: OryFlowComponentOverrides = {
  Node: { Input, Text },
  Card: { Logo: Brand, Footer: CardFooter },
  // The settings page stands under our own header, which leads home and signs out.
  Page: { Header: () => null },
};
