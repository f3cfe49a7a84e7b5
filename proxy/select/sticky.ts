import { createHmac, timingSafeEqual } from 'node:crypto';
import { type CookieAffinity, cookieValues, serialiseCookie } from './cookie.ts';
import { hashText } from './hash.ts';
import type { Member } from './member.ts';
import { findOnRing } from './ringhash.ts';
import type { Choices, Session } from './session.ts';
import type { Pick, PickFacts } from './types.ts';

/**
 * Persistent cookie: its value is a keyed token of the endpoint's uid. Every worker and replica with the fleet's key
 * computes the same tokens, so nothing is shared and nothing is stored; a value that is no token of a living endpoint
 * (forged, of another service, of a pod that went) is as good as none: another endpoint is chosen and the cookie issued
 * again. An endpoint that terminates keeps its sessions while it serves, and loses one when a request fails on it.
 *
 * A failed try on an endpoint that stays: with changeOnFailure the session moves, without it the request is tried there
 * again, as ingress-nginx does, because another endpoint does not know the session.
 */
export function persistentCookie(affinity: CookieAffinity, key: Uint8Array, choices: Choices): Session {
  const membersByToken = new Map<string, Member[]>();
  for (const member of choices.members) {
    const token = tokenOf(member, key);
    // The addresses of a dual-stack pod share its uid: the session is at home on any of them.
    const known = membersByToken.get(token);
    if (known === undefined) membersByToken.set(token, [member]);
    else known.push(member);
  }
  return {
    pick(facts, tried, nowMs) {
      for (const value of cookieValues(facts.header('cookie'), affinity.name)) {
        let failed: Member | null = null;
        for (const member of membersByToken.get(value) ?? noMembers) {
          if (!member.canKeepSession) continue;
          if (!tried.includes(member.state)) return member.state.plainPick;
          failed ??= member;
        }
        if (failed !== null && !affinity.changeOnFailure && !failed.row.terminating) return failed.state.plainPick;
      }
      const member = choices.choose(facts, tried, nowMs);
      if (member === null) return null;
      return withCookie(member, affinity, tokenOf(member, key), facts, choices.wallMs(nowMs));
    },
  };
}

/**
 * Balanced cookie: its value is a random number and its signature; the ring says which endpoint the number belongs to.
 * When endpoints come and go some sessions move, so that load stays even; the cookie is not issued again for that.
 */
export function balancedCookie(affinity: CookieAffinity, key: Uint8Array, choices: Choices): Session {
  const verified = new Map<string, number>();
  const isUsable = (member: Member): boolean => member.isUsable;
  return {
    pick(facts, tried, nowMs) {
      for (const value of cookieValues(facts.header('cookie'), affinity.name)) {
        const hash = place(value);
        if (hash === null) continue;
        const member = findOnRing(choices.ring(), hash, isUsable);
        if (member === null) return null;
        if (!tried.includes(member.state) || !affinity.changeOnFailure) return member.state.plainPick;
        break;
      }
      return issue(facts, tried, nowMs);
    },
  };

  /** Numbers are drawn until one belongs to an endpoint that has not failed: the next request must find the same. */
  function issue(facts: PickFacts, tried: readonly Pick['endpoint'][], nowMs: number): Pick | null {
    const resort = tried.length === 0 ? null : choices.lastResort(tried);
    const accepts = resort === null ? isUsable : (each: Member) => each.isUsable || each === resort;
    let value = '';
    let member: Member | null = null;
    for (let draws = 0; draws < 32; draws++) {
      const number =
        Math.floor(choices.random() * 2 ** 48).toString(36) + Math.floor(choices.random() * 2 ** 48).toString(36);
      value = `${number}.${sign(key, `session\n${number}`)}`;
      member = findOnRing(choices.ring(), hashText(number, 5), accepts);
      if (member === null) return null;
      if (!tried.includes(member.state)) break;
    }
    return member === null ? null : withCookie(member, affinity, value, facts, choices.wallMs(nowMs));
  }

  /** Place on the ring of a value that we issued. Remembered, because a signature costs as much as the rest of a pick. */
  function place(value: string): number | null {
    const known = verified.get(value);
    if (known !== undefined) return known;
    const dot = value.indexOf('.');
    if (dot < 1 || value.length > 64) return null;
    const number = value.slice(0, dot);
    if (!isEqual(value.slice(dot + 1), sign(key, `session\n${number}`))) return null;
    const hash = hashText(number, 5);
    if (verified.size >= 8192) verified.clear();
    verified.set(value, hash);
    return hash;
  }
}

const noMembers: readonly Member[] = [];

function tokenOf({ state, row: { uid } }: Member, key: Uint8Array): string {
  if (state.token === null || state.token.uid !== uid || state.token.key !== key) {
    state.token = { text: sign(key, `endpoint\n${uid}`), uid, key };
  }
  return state.token.text;
}

function withCookie(member: Member, affinity: CookieAffinity, value: string, facts: PickFacts, wallMs: number): Pick {
  const userAgent = affinity.conditionalSameSiteNone ? (facts.header('user-agent') ?? '') : '';
  const scene = { routePath: facts.routePath, isTls: facts.isTls, userAgent, wallMs };
  return { endpoint: member.state, setCookie: serialiseCookie(affinity, value, scene) };
}

/** HMAC-SHA-256, 128 bits of it: 22 characters that a cookie holds without quoting. */
function sign(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(`sluice affinity 1\n${text}`).digest().subarray(0, 16).toString('base64url');
}

function isEqual(given: string, wanted: string): boolean {
  const bytes = Buffer.from(given);
  const wantedBytes = Buffer.from(wanted);
  return bytes.length === wantedBytes.length && timingSafeEqual(bytes, wantedBytes);
}
