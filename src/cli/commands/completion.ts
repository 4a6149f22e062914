import { basename } from 'node:path';
import { defineCommand } from '../command.js';
import { print } from '../output.js';

/** They ask the program as it was typed (`$1`), which yargs answers; file names where it knows nothing. */
const scripts = {
  bash: `_dgate() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(SHELL=bash "$1" --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)" -- "$2"))
}
complete -o bashdefault -o default -F _dgate dgate
`,
  zsh: `#compdef dgate
_dgate() {
  local -a reply
  reply=("\${(@f)$(SHELL=zsh "$words[1]" --get-yargs-completions "\${words[@]}" 2>/dev/null)}")
  if [[ -n "$reply" ]]; then _describe dgate reply; else _files; fi
}
compdef _dgate dgate
`,
} as const;

export const completionCommand = defineCommand({
  command: 'completion [shell]',
  describe: 'print the completion script of a shell',
  builder: (yargs) =>
    yargs
      .positional('shell', {
        choices: ['bash', 'zsh'] as const,
        default: basename(process.env['SHELL'] ?? '') === 'zsh' ? ('zsh' as const) : ('bash' as const),
        defaultDescription: "the user's own",
        describe: 'for which',
      })
      .example('$0 completion bash >> ~/.bashrc', 'from the next shell on')
      .example('$0 completion zsh >> ~/.zshrc', 'the same, after compinit'),
  run: ({ shell }) => print(scripts[shell]),
});
