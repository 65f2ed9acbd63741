import { LuaCommands } from '@app/platform';

/** The Lua commands of this library, `commands/*.lua`. */
export const commands = new LuaCommands(`${import.meta.dirname}/commands`);
