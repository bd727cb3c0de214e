import { describe, expect, it } from "vitest";
import { afterVerification } from "@/features/auth-flow/after-verification";

describe("after the verification", () => {
  it("an application that is waiting gets its answer", () => {
    const request_url = "https://id.example.com/self-service/registration/browser?login_challenge=a%3D%3D";
    expect(afterVerification({ request_url, return_to: "/x" })).toEqual({
      href: "/auth/login?login_challenge=a%3D%3D",
      toApplication: true,
    });
  });

  it("a person goes where they wanted to go", () => {
    const request_url = "https://id.example.com/self-service/registration/browser";
    expect(afterVerification({ request_url, return_to: "https://id.example.com/auth/settings" })).toEqual({
      href: "https://id.example.com/auth/settings",
      toApplication: false,
    });
  });

  it.each([undefined, "", "not a url"])("or home, when the flow began with %j", (request_url) => {
    expect(afterVerification({ request_url })).toEqual({ href: "/", toApplication: false });
  });
});
