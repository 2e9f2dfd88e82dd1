// The dialog with the settings of a load.

import { mistakesOf } from "./api.js";
import { copyButton } from "./copying.js";
import { openDialog } from "./dialog.js";
import { make, setText } from "./dom.js";
import { folded } from "./fields.js";
import { LoadFields } from "./load-fields.js";
import { profileOf } from "./toml.js";

const ABOUT = "What you leave as it is, LM Studio decides. If you change no setting, the model's profile in config.toml applies, if it has one.";

/**
 * Ask for the settings of a load. `send` gets the body of the request, and a function that closes the dialog while
 * the request is under way. Resolves when the dialog is closed, to what `send` returned.
 */
export function askHowToLoad(model, { settings, isLoaded, send }) {
  const fields = new LoadFields(model, settings, isLoaded);
  const profile = profileNodes(model.modelKey);
  const form = make("div", { class: "fields" }, make("p", { class: "hint" }, ABOUT), ...fields.nodes, profile.node, ...fields.checks);
  const showProfile = () => profile.show(fields.values);
  form.addEventListener("input", showProfile);
  showProfile();
  return openDialog({
    title: `Load ${model.displayName}`,
    content: [form],
    confirm: "Load",
    wide: true,
    submit: (close) => {
      fields.showMistakes([]);
      return send({ modelKey: model.modelKey, ...fields.values }, close);
    },
    explain: (error) => {
      const mistakes = mistakesOf(error);
      const others = fields.showMistakes(mistakes);
      if (others.length > 0) return others.map(({ path, message }) => `${path}: ${message}.`).join(" ");
      return mistakes.length > 0 ? "Nothing was loaded. Change what is marked." : error.message;
    },
  });
}

function profileNodes(modelKey) {
  const text = make("pre");
  const code = make("div", { class: "code lines", tabindex: "0", role: "group", "aria-label": "Lines for config.toml" }, text);
  const nothing = make("p", { class: "hint" }, "Change a setting first.");
  const lines = make(
    "div",
    { class: "fields" },
    make("p", { class: "hint" }, "Paste it into config.toml. The model is then loaded like this for requests too. If the file has a table of this name already, paste only what is below the name, into that table."),
    code,
    copyButton(text, "Copy"),
  );
  return {
    node: folded("Keep as this model's profile", nothing, lines),
    show({ loadConfig, defaultInference }) {
      const isEmpty = loadConfig === undefined && defaultInference === undefined;
      setText(text, profileOf(modelKey, { load: loadConfig, defaults: defaultInference }));
      nothing.hidden = !isEmpty;
      lines.hidden = isEmpty;
    },
  };
}
