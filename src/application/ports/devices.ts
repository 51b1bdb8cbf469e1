/** What a client shows of its device. */
export type DeviceSighting = { tokenHash: Buffer | null; kind: string; network: string };

/** What is known of it: the device by its cookie, one without cookies of the same kind in the same network, or nothing. */
export type KnownDevice = { id: string; by: 'cookie' | 'traits' } | { by: 'new'; hasOthers: boolean };

/** A device as it is from now on. `replaces`: the cookie that its browser had, which other accounts on it may know it by. */
export type DeviceNote = {
  id: string;
  tokenHash: Buffer;
  kind: string;
  network: string;
  replaces: Buffer | null;
  /** Whether the cookie came back: the device keeps cookies. */
  isConfirmed: boolean;
};
