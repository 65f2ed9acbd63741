/** That of package.json; a contract test compares them. */
export const VERSION = '0.2.0';
