// How many requests run and wait: from each report, and from events while the page is hidden and asks for no reports.

export class Activity {
  #running = new Set();
  #waiting = new Set();
  #onChange;

  /** `onChange` gets the numbers, and when they were so, as a timestamp of the gateway's. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Take in the reports of /debug/requests and /debug/queue, each with requests by their ids. */
  reported(requests, queue) {
    this.#waiting = new Set(queue.waiting.map(({ requestId }) => requestId));
    this.#running = new Set([...requests, ...queue.running].map(({ requestId }) => requestId).filter((id) => !this.#waiting.has(id)));
    this.#tell(null);
  }

  onEvent({ name, data }) {
    const { requestId, timestamp } = data;
    if (requestId === undefined) return;
    if (name === "request_queued") this.#move(requestId, this.#waiting);
    else if (name === "request_dispatched") this.#move(requestId, this.#running);
    // The event of the start may follow that of the line.
    else if (name === "inference_start" && !this.#waiting.has(requestId)) this.#move(requestId, this.#running);
    else if (name === "inference_complete" || name === "error") this.#move(requestId, null);
    else return;
    this.#tell(timestamp);
  }

  #move(requestId, target) {
    this.#running.delete(requestId);
    this.#waiting.delete(requestId);
    target?.add(requestId);
  }

  #tell(timestamp) {
    this.#onChange({ running: this.#running.size, waiting: this.#waiting.size }, timestamp);
  }
}
