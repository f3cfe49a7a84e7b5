import type { Problem, Source } from '#table/problem.ts';
import { type CatalogueEntry, problemOf } from '../translate/problems.ts';

/** Every problem of addresses and of what announces them. Codes are stable: people alert on them. */
export const addressCatalogue = {
  AddressPoolInvalid: {
    severity: 'error',
    text: '"{entry}" {fault}, so the pool does not hold it.',
    hint: 'Write a CIDR (192.0.2.0/24), a range (192.0.2.10-192.0.2.20) or one address.',
  },
  AddressPoolOverlaps: {
    severity: 'error',
    text: '"{entry}" overlaps AddressPool {pool}, which is older and keeps the addresses that both name.',
    hint: 'Give each pool addresses of its own.',
  },
  AddressPoolExhausted: {
    severity: 'error',
    text: 'No {family} address is free in {pools}.',
    hint: 'Add addresses to the pool, or free some: the Service gets one as soon as there is one.',
  },
  AddressPoolNotFound: {
    severity: 'error',
    text: 'The Service names AddressPool {pool}, which does not exist.',
    hint: 'Create the pool, or correct the name.',
  },
  AddressPoolRefuses: {
    severity: 'error',
    text: 'AddressPool {pool} is not for this Service.',
    hint: 'Its namespaces, namespaceSelector and serviceSelector say for whom it is.',
  },
  AddressPoolNone: {
    severity: 'error',
    text: 'No AddressPool gives {family} addresses to this Service.',
    hint: 'Create a pool that does, or name one of those with autoAssign: false.',
  },
  AddressRequestInvalid: {
    severity: 'error',
    text: '"{value}" {fault}.',
    hint: 'Write addresses of the families of the Service, separated by commas.',
  },
  AddressOutsidePools: {
    severity: 'error',
    text: 'The address {address} that the Service asks for is in {where}.',
    hint: 'Ask for an address of a pool, or add the address to one.',
  },
  AddressTaken: {
    severity: 'error',
    text: 'The address {address} that the Service asks for is held by {holder}{why}.',
    hint: 'Ask for another, or share it: the same sluice.dev/sharing-key on both, and no port twice.',
  },
  AddressKept: {
    severity: 'warning',
    text: 'The Service keeps {address}, although {why}.',
    hint: 'Nothing is taken away from a Service that is served; delete and create it to have it assigned anew.',
  },
  DualStackIncomplete: {
    severity: 'error',
    text: 'The Service must have addresses of both families (RequireDualStack), and there is no {family} one for it.',
    hint: 'Add {family} addresses to a pool for this Service, or use PreferDualStack.',
  },
} as const satisfies Record<string, CatalogueEntry>;

export type AddressProblemCode = keyof typeof addressCatalogue;

/** As `problem` of controller/translate, from the catalogue of this folder. */
export function addressProblem(
  code: AddressProblemCode,
  source: Source,
  values: Readonly<Record<string, string>> = {},
): Problem {
  return problemOf(code, addressCatalogue[code], source, values);
}
