/** A packet that a lane received, as it is appended. */
export interface LaneItem {
  /** The whole entry. This library does not interpret it. */
  text: string;
  /** Name of the delivery, `<id>.<digest>`. A redelivery after a missing acknowledgement has the same name. */
  delivery?: string;
  /** Whether this is a redelivery, which may have been appended before. */
  isRedelivery?: boolean;
}
