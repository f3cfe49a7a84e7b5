/** Builds the programs of others that Sluice is tried with, into the user's cache; their tests run from then on. */
import { buildIntegrations } from './kit/integrations.ts';

buildIntegrations();
