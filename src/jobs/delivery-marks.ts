import type { JobKeeper } from './keeper.js';

/** Who tells a store. */
export type MarkKeeper = Pick<JobKeeper, 'store' | 'try' | 'unmarked'>;

/**
 * Tells the store what was delivered, that of one turn of the event loop together: what it was not told yet is reported again
 * after a kill.
 */
export class DeliveryMarks {
  readonly #keeper: MarkKeeper;
  #whole: string[] = [];
  #parted: string[] = [];
  #telling: Promise<void> = Promise.resolve();

  constructor(keeper: MarkKeeper) {
    this.#keeper = keeper;
  }

  /** @param parted its payload did not go with it: the record is kept for whoever wants it. */
  add(envelopeId: string, parted: boolean): void {
    if (this.#whole.length + this.#parted.length === 0) setImmediate(() => void this.settle());
    (parted ? this.#parted : this.#whole).push(envelopeId);
  }

  /** Resolves when the store was told of everything. Never rejects. */
  async settle(): Promise<void> {
    const [whole, parted] = [this.#whole, this.#parted];
    this.#whole = [];
    this.#parted = [];
    if (whole.length + parted.length > 0) this.#telling = this.#telling.then(() => this.#tell(whole, parted));
    await this.#telling;
  }

  #tell(whole: readonly string[], parted: readonly string[]): Promise<void> {
    const { store } = this.#keeper;
    return this.#keeper.try(async () => {
      try {
        if (whole.length > 0) await store.markDelivered(whole);
        if (parted.length > 0) await (store.setAside?.(parted) ?? store.markDelivered(parted));
      } catch (error) {
        this.#keeper.unmarked([...whole, ...parted]);
        throw error;
      }
    });
  }
}
