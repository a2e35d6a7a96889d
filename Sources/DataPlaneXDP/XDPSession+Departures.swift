import RelayWorker
import Synchronization

/// The interfaces that frames may leave by.
extension XDPSession {
    /// Looks which of these interfaces send what is redirected to them. To the others nothing is redirected: the kernel
    /// would take each frame, drop it, and tell the program that it left. Drivers change their mind while they run.
    static func departures(of attachments: [Attachment]) -> [Bool] {
        // Frames of the generic mode leave by the kernel's stack, whatever the driver can.
        let isGeneric = attachments.allSatisfy { $0.mode == .generic }
        // A kernel that said so once is asked again, where it cannot be asked now.
        return attachments.map { attachment in
            let former = attachment.interface.xdpFeatures == nil || attachment.isDeparture
            return isGeneric || attachment.interface.sendsRedirected ?? former
        }
    }

    /// Follows what the drivers can by now. Of the monitor's thread, the only one that changes attachments meanwhile.
    func followDepartures() {
        let attachments = state.withLock { $0.attachments }
        let departures = Self.departures(of: attachments)
        guard departures != attachments.map(\.isDeparture) else { return }
        state.withLock { state in
            for (index, isDeparture) in departures.enumerated() {
                // Where the kernel refuses, frames take the slow path, and the next look tries again.
                try? state.attachments[index].setDeparture(isDeparture, program)
            }
        }
    }
}
