import { LuaCommands } from '@app/platform';
import { messageKeyEndings } from './keys.js';

const FOLDER = `${import.meta.dirname}/commands`;

/** The Lua commands of this library, `commands/*.lua`. */
export const commands = new LuaCommands(FOLDER);

/** Those on messages: they get the first part of the keys of a shard, and build its keys from it. */
export const messageCommands = new LuaCommands(FOLDER, { base: 'shard', endings: messageKeyEndings() });
