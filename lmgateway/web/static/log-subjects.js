// Of which key and which models an event is. Later events of a request name neither: its first one did.

const MOST = 2000;

export class Subjects {
  #requests = new Map();

  /** Returns {key, models} of an event, and remembers those of its request. */
  of({ requestId, key, model, modelKey, servedModel }) {
    const known = this.#requests.get(requestId);
    const subjects = {
      key: key ?? known?.key ?? null,
      models: new Set([...(known?.models ?? []), ...[model, modelKey, servedModel].filter(Boolean)]),
    };
    if (requestId !== undefined) this.#remember(requestId, subjects);
    return subjects;
  }

  #remember(requestId, subjects) {
    this.#requests.delete(requestId);
    this.#requests.set(requestId, subjects);
    if (this.#requests.size > MOST) this.#requests.delete(this.#requests.keys().next().value);
  }
}
