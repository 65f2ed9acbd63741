/** That of package.json; a contract test compares them. */
export const VERSION = '0.1.0';
