/** The names that a source file declares, with their lines. TypeScript is parsed, but not type checked. */
import ts from 'typescript';

export interface DeclaredName {
  name: string;
  line: number;
}

export function declaredNames(path: string, text: string): DeclaredName[] {
  return path.endsWith('.lua') ? namesOfLua(text) : namesOfTypeScript(path, text);
}

/** The parts of a name in lower case: `maxBytesPerShard`, `MAX_BYTES` and `max_bytes` begin with `max`, `bytes`. */
export function partsOf(name: string): string[] {
  return (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g) ?? []).map((part) => part.toLowerCase());
}

function namesOfTypeScript(path: string, text: string): DeclaredName[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  const names: DeclaredName[] = [];
  const visit = (node: ts.Node): void => {
    const name = nameOf(node);
    if (name !== undefined) {
      const line = source.getLineAndCharacterOfPosition(name.getStart(source)).line + 1;
      names.push({ name: name.text, line });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** Import names are declared elsewhere, and members of object literals may be the options of a library. */
function nameOf(node: ts.Node): ts.Identifier | ts.PrivateIdentifier | undefined {
  const isDeclaration =
    ts.isVariableDeclaration(node) ||
    ts.isBindingElement(node) ||
    ts.isParameter(node) ||
    ts.isTypeParameterDeclaration(node) ||
    ts.isFunctionDeclaration(node) ||
    ts.isClassLike(node) ||
    ts.isClassElement(node) ||
    ts.isTypeElement(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isEnumDeclaration(node) ||
    ts.isEnumMember(node);
  if (!isDeclaration || node.name === undefined) return undefined;
  return ts.isIdentifier(node.name) || ts.isPrivateIdentifier(node.name) ? node.name : undefined;
}

const NAMES = String.raw`[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*`;
const DECLARATIONS = [
  /^-- (?:KEYS|ARGV) (.*)$/,
  new RegExp(String.raw`\blocal (?!function\b)(${NAMES})`),
  new RegExp(String.raw`\bfor (${NAMES}) (?:in|=)`),
  new RegExp(String.raw`\bfunction\s*(?:([A-Za-z_]\w*)\s*)?\(`),
  new RegExp(String.raw`\bfunction\b[^(]*\((${NAMES})`),
].map((declaration) => new RegExp(declaration, 'g'));

/** KEYS and ARGV of the head, functions with their parameters, and locals. */
function namesOfLua(text: string): DeclaredName[] {
  return text.split('\n').flatMap((line, i) => {
    const code = /^-- (KEYS|ARGV) /.test(line) ? line : line.replace(/--.*$/, '');
    const lists = DECLARATIONS.flatMap((declaration) =>
      Array.from(code.matchAll(declaration), ([, list = '']) => list),
    );
    return lists.flatMap((list) => list.match(/[A-Za-z_]\w*/g) ?? []).map((name) => ({ name, line: i + 1 }));
  });
}
