/**
 * Contract that no module uses yet: it may change in any release. A module names what it uses in its manifest
 * (`"requires": ["zones@1"]`) and is refused by hosts that do not offer it.
 * @packageDocumentation
 */
/** Capabilities, `name@version`, that this release of the SDK describes. None yet. */
export declare const EXPERIMENTAL_CAPABILITIES: readonly string[];
