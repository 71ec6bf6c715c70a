export { becomeOwner, OWNER_DEFAULTS, type OwnerOptions, type Ownership } from './become-owner.js';
export { CHILD_DEFAULTS, type ChildOptions, type ChildOrder } from './options.js';
export { type SpawnChildOptions, spawnChild } from './spawn-child.js';
export { superviseChild } from './supervise-child.js';
export type { ChildEnding, ChildState, SupervisedChild } from './supervised-child.js';
