/** Every word of ours that a person reads, in one place, so that a second language is a second file. */
export const en = {
  site: {
    name: "Gatehouse",
    description: "One door for people, machines and services.",
    home: "Home",
    brandHome: "Gatehouse home",
    account: "Account",
    signIn: "Sign in",
    signOut: "Sign out",
    register: "Create account",
  },
  titles: {
    login: "Sign in",
    registration: "Create account",
    recovery: "Recover account",
    verification: "Verify address",
    settings: "Account settings",
    error: "Error",
    consent: "Allow access",
    logout: "Sign out",
  },
  home: {
    headline: "One door. Every request known.",
    lead: "People log in, machines get tokens, and each request is verified before it reaches a service.",
    people: {
      title: "People",
      text: "Sign in with a password and a second factor, verify an address, recover an account.",
    },
    machines: {
      title: "Machines",
      text: "OAuth2 clients get tokens of their own, each limited to what it was given.",
    },
    services: {
      title: "Services",
      text: "A service behind the door is told who is calling by a signed token, not by a header that anyone can write.",
    },
    greeting: (name: string) => `Hello, ${name}`,
    greetingNameless: "Hello",
    verifiedByDoor: "This is who the API says you are, after your request passed the door.",
    name: "Name",
    email: "Email",
    id: "Identity",
    noName: "Not given",
    noEmail: "Not given",
    manage: "Account settings",
  },
  locales: {
    choose: "Choose a language",
    // Each in its own words: whoever needs it must be able to read it.
    names: { en: "English", ko: "한국어" },
  },
  verification: {
    later: "Continue without verifying",
    toApplication: "Go on to the application that you came from",
  },
  settings: {
    title: "Account settings",
    text: "Your profile, your password and your second factors.",
    totpSecret: "Authenticator secret",
  },
  consent: {
    title: (client: string) => `${client} wants access to your account`,
    asks: "If you allow it, this application may:",
    asksNothing: "This application asks for nothing beyond confirming that you signed in.",
    allow: "Allow",
    deny: "Deny",
    trust: "Allow this only if you trust the application and came here from it.",
    working: "One moment…",
    needsScript: "Answering needs JavaScript. Allow it for this site, then load this page again.",
    unexpected: "The answer led somewhere unexpected, so it was not followed.",
    noChallenge: {
      title: "No request to answer",
      text: "This page answers an application's request for access, and there is none. Start again in the application.",
    },
    gone: {
      title: "This request is no longer valid",
      text: "It was answered already, or it waited too long. Start again in the application.",
    },
    notYours: {
      title: "This request is not for this account",
      text: "It was started by someone else in this browser. Start again in the application.",
    },
  },
  scopes: {
    openid: "Know who you are",
    profile: "See your name and profile",
    email: "See your email address",
    offline_access: "Keep access while you are away",
  },
  logout: {
    title: "Sign out?",
    text: "This ends your session in this browser.",
    askedByApplication: "An application asked to end your session in this browser.",
    stay: "Stay signed in",
    none: { title: "You are signed out", text: "There is no session in this browser." },
  },
  failure: {
    tryAgain: "Try again",
    goHome: "Go to the start page",
    startAgain: "Start again",
    status: "Status",
    requestId: "Request",
    noAnswer: "no answer",
    report: "If this keeps happening, tell the operator of this site the request number.",
    unavailable: {
      title: "We cannot reach the sign-in service",
      text: "It should be back shortly. Try again in a moment.",
    },
    apiUnavailable: {
      title: "We cannot tell who you are right now",
      text: "You may well be signed in, but a part that checks it is not answering. Try again in a moment.",
    },
    notSent: "The sign-in service did not answer. What you typed is still here; try again in a moment.",
    offline: "This could not be sent. Check your connection and try again.",
    busy: {
      title: "Too many attempts",
      text: "Wait a minute, then try again.",
    },
    disabled: {
      title: "This account is disabled",
      text: "Ask the operator of this site if you think that is a mistake.",
    },
    stepUp: {
      title: "Your second factor has not arrived everywhere yet",
      text: "You confirmed it, but the door still answers as if you had not. This settles within seconds.",
    },
    notBelieved: {
      title: "Your session is not accepted yet",
      text: "You are signed in, but the door still answers as if you were not. This settles within seconds.",
    },
    unexpected: {
      title: "Something went wrong",
      text: "This page could not be shown.",
    },
    expired: {
      title: "This page has expired",
      text: "Forms are valid for a short time and in one browser only. If starting again leads back here, allow cookies for this site.",
    },
    restartLoop: {
      title: "We could not start this form",
      text: "Your browser was sent round several times without success. Check that cookies are allowed for this site, then start again.",
    },
    application: {
      title: "The application's request was refused",
      text: "Go back to the application and try once more. If it happens again, this is what its makers should see:",
    },
    refused: {
      title: "This could not be done",
      text: "The sign-in service gave this reason:",
    },
    notFinished: {
      title: "Something went wrong",
      text: "The sign-in service could not finish what you asked for. Try again in a moment.",
    },
    nothing: {
      title: "Nothing went wrong here",
      text: "This page explains errors, and none was given.",
    },
    notFound: { title: "There is no such page", text: "The address may be mistyped, or the page has moved." },
  },
};

export type Messages = typeof en;
