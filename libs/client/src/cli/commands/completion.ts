/** The command `completion`: scripts for shells. They call `cloud-connector complete` with the words of the command line. */
import type { LocalContext } from '../context.js';
import { EXIT } from '../failures.js';

/** No script evaluates a word of the command line, and none needs another package. */
const SCRIPTS = {
  bash: `# In ~/.bashrc: source <(cloud-connector completion bash)
_cloud_connector() {
  local candidate
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    COMPREPLY+=("$candidate")
  done < <(cloud-connector complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _cloud_connector cloud-connector`,
  zsh: `#compdef cloud-connector
# In ~/.zshrc, after compinit: source <(cloud-connector completion zsh)
_cloud_connector() {
  local -a candidates
  local value about
  while IFS=$'\\t' read -r value about; do
    candidates+=("\${value//:/\\\\:}:$about")
  done < <(cloud-connector complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe 'cloud-connector' candidates || _files
}
compdef _cloud_connector cloud-connector`,
  fish: `# In ~/.config/fish/config.fish: cloud-connector completion fish | source
function __cloud_connector_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l candidates (cloud-connector complete $words[2..-1] "$current" 2>/dev/null)
  if set -q candidates[1]
    printf '%s\\n' $candidates
  else
    __fish_complete_path "$current"
  end
end
complete -c cloud-connector -f -a '(__cloud_connector_complete)'`,
} as const;

export async function printScript({ args, out }: LocalContext): Promise<number> {
  const shell = args.need(0) as keyof typeof SCRIPTS;
  await out.safe([SCRIPTS[shell]]);
  return EXIT.done;
}
