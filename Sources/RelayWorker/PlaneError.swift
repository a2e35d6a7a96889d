/// Why a plane cannot start or go on, in a person's words.
public struct PlaneError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What happened, with the name of the system call or of the feature.
    public let what: String
    /// Why, as far as it is known (the text of `errno`, a missing capability).
    public let why: String
    /// What a person can do about it.
    public let mend: String

    public init(what: String, why: String, mend: String) {
        self.what = what
        self.why = why
        self.mend = mend
    }

    public var description: String { "\(what): \(why). \(mend)" }
}
