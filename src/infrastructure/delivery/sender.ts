/** Who mail comes from. */
export type Sender = { name: string; address: string };
