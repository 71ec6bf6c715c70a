import type { JobStore } from '../store.js';
import { claimSaboteurs } from './store-claim-saboteurs.js';
import { conductSaboteurs } from './store-conduct-saboteurs.js';
import { keepingSaboteurs } from './store-keeping-saboteurs.js';
import { ownerSaboteurs } from './store-owner-saboteurs.js';

/** Makes, for one place, a function that turns each good store of it into one that breaks a single case. */
export type StoreSaboteur = () => (inner: JobStore) => JobStore;

/**
 * For each case of the conformance suite, by id, stores that this case catches and every other one lets pass: the proof
 * that no case is idle.
 */
export const storeSaboteurs: Readonly<Record<string, StoreSaboteur>> = {
  ...keepingSaboteurs,
  ...claimSaboteurs,
  ...conductSaboteurs,
  ...ownerSaboteurs,
};
