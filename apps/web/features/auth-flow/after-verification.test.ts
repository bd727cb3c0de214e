import { describe, expect, it } from "vitest";
import { afterVerification } from "@/features/auth-flow/after-verification";

const home = "https://id.example.com/";

describe("after the verification", () => {
  it("an application that is waiting gets its answer", () => {
    const request_url = "https://id.example.com/self-service/registration/browser?login_challenge=a%3D%3D";
    expect(afterVerification({ request_url, return_to: "/x" }, home)).toEqual({
      href: "/auth/login?login_challenge=a%3D%3D",
      toApplication: true,
    });
  });

  it("a person goes where they wanted to go", () => {
    const request_url = "https://id.example.com/self-service/registration/browser";
    const return_to = "https://id.example.com/auth/settings";
    expect(afterVerification({ request_url, return_to }, home)).toEqual({
      href: return_to,
      toApplication: false,
    });
  });

  it.each(["https://evil.example/", "javascript:alert(1)"])("nobody is led to %j", (return_to) => {
    expect(afterVerification({ return_to }, home)).toEqual({ href: home, toApplication: false });
  });

  it.each([undefined, "", "not a url"])("or home, when the flow began with %j", (request_url) => {
    expect(afterVerification({ request_url }, home)).toEqual({ href: home, toApplication: false });
  });
});
