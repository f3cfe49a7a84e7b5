/** Id of the secret row that all keys of a fleet are derived from. */
export const fleetSecretId = 'fleet/affinity';
